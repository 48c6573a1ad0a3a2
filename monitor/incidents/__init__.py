"""What an incident keeps beside its verdict, where it is read from, how people are told."""
