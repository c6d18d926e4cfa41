"""Generated from protos/zoco/user by `make gen`. Do not edit."""
