"""The writing of texts by a language model or by rules: curate and converse."""
