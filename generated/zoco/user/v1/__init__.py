"""Generated from protos/zoco/user/v1 by `make gen`. Do not edit."""
