"""Generated from protos/zoco/notification/v1 by `make gen`. Do not edit."""
