"""The user's AWS account: sessions, tags, checks, prices and its inventory.

Importing these modules imports boto3, so do it only where a user asks for AWS.
"""
