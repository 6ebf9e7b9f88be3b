"""The documentation as a newcomer takes it: every command line of it is one that `radvlm` knows, and most are run."""
