"""The digital link: NR transport blocks, LDPC codes, QAM and the MCS table. Knows arrays, not images or channels."""
