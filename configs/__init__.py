"""Built-in YAML: `configs/<group>/<name>.yaml` is `group=name` on the command line."""
