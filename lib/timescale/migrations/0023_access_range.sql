-- The range that the reads of a line selected: the earliest from and the latest to; NULL if a
-- read had none. Until now they were part of the selection, and each read of a window that
-- moves was a line.
ALTER TABLE access_record ADD COLUMN selected_from timestamptz, ADD COLUMN selected_to timestamptz;
