-- Why a frame is in the quarantine, in words: what the adapter said of it, or which protocols it looks like.
ALTER TABLE quarantine ADD COLUMN detail text NOT NULL DEFAULT '';
