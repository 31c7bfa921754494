"""Real parts, stand-ins, fakes and builders that tests share."""
