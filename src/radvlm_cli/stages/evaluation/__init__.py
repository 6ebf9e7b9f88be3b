"""eval: test sets, who is asked, what an answer says, scores."""
