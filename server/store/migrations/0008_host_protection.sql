-- +goose Up
-- The dashboard reads the few hosts of each bad state out of many, by name.
CREATE INDEX hosts_protection ON hosts (protection, name);
