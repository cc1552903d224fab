"""What strangers can send, one module for each way in; a new file here is a new target."""
