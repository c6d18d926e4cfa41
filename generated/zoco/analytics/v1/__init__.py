"""Generated from protos/zoco/analytics/v1 by `make gen`. Do not edit."""
