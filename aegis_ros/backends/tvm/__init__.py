"""TVM: networks compiled to machine code, for whatever processor LLVM knows."""
