"""Steps for bundles that are in service: settings of the deployment."""
