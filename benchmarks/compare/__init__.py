"""What comparisons of several ways to run the same networks share."""
