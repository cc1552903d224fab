"""Language models: GGUF and ONNX files as steps over a KV cache, their tokens and their prompts."""
