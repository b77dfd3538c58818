"""Built-in strategies, one file each. Look here before you write your own."""
