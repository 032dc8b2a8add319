-- +goose Up
-- How a schedule runs by itself, and whether its host is expected to be there.
ALTER TABLE schedules ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE schedules ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
ALTER TABLE schedules ADD COLUMN objective_s BIGINT NOT NULL DEFAULT 0;
ALTER TABLE hosts ADD COLUMN availability TEXT NOT NULL DEFAULT 'always_on';
