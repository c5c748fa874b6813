"""The starter home and the generated café."""
