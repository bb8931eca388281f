"""What layers give: recorded by hooks, collected once for all images, kept in a store."""
