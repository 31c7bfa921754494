"""What is to be known about AWS: prices."""
