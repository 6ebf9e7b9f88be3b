"""`radvlm chat --web`: the dialogue as a page on this machine.

`server` answers the browser in threads; what asks the model waits at the `desk` for the one thread that does.
"""
