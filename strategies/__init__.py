"""Built-in strategies, one file each; the first place to look before writing your own."""
