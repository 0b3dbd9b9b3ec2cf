"""What photographs show of boards and coded markers."""
