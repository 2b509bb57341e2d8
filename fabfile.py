"""The namespace that `fab` loads."""

from tasks import collection

namespace = collection(__file__)
