"""What runs on a node: captures into its store, and answers what hubs ask."""
