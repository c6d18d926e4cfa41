"""Generated from protos/zoco/product/v1 by `make gen`. Do not edit."""
