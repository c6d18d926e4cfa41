"""The portal: what stands behind the edge and belongs to no service. Health of the whole system, reflection in dev."""
