"""Generated from protos/zoco/product by `make gen`. Do not edit."""
