"""The whole job, once or many times."""
