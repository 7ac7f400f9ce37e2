"""Pure tensor functions on trailing axes: no module, environment, setting or file."""
