"""Commands that buy labels."""
