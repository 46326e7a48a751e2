"""vecsearch beside other engines: same passages, same queries, same machine. See ``__main__``."""
