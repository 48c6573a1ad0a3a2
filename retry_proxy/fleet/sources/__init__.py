"""Where the list of replicas comes from, apart from flags: a file, DNS, Kubernetes."""
