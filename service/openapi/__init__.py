"""The OpenAPI documents that apps publish: fetched with distrust, and looked at no closer than needed."""
