-- What the start of a campaign on many devices writes, on PostgreSQL.

-- An offer changes the state of the device. A new version of a row that finds space on the page of the old one needs no
-- new entries in the indexes of the table.
{{postgres}}ALTER TABLE devices SET (fillfactor = 85);

-- Compressing these lists takes ten times as long as storing them.
{{postgres}}ALTER TABLE wave_members ALTER COLUMN members SET STORAGE EXTERNAL;
{{postgres}}ALTER TABLE campaign_devices ALTER COLUMN slots SET STORAGE EXTERNAL;
