//! Recognises file systems and other uses of a partition by their superblocks.
