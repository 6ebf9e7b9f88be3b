"""What `radvlm report` shows: one module for each view. It makes row objects from the store by SQL, and writes nothing."""
