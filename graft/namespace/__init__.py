"""Programs in mount namespaces: NEW over OLD, and FHS roots composed of packages."""
