"""Jobs that read top to bottom: configuration, stream, learner, training, tracking."""
