package restic

func keyRemoveOperation() Operation {
	return Operation{
		Name: "key-remove", Group: GroupMaintain,
		Title:       "Remove a key",
		Description: "Removes a key, so that its password opens the repository no more. The key that is in use is never removed.",
		Fields: []Field{
			repositoryField(),
			{Name: "key_id", Type: FieldString, Pattern: "[0-9a-f]{64}", Required: true, Label: "Key", Help: "the full id of a key, as identify lists them"},
		},
		Lock: LockExclusive, Slot: SlotMaintenance, Places: []Place{PlaceMaintenanceHost}, Deletes: true, Confirm: true,
		Facts: []Column{{"keys", "Keys left", ColumnInt}},
	}
}

// KeyRemove removes a key.
type KeyRemove struct{ ID string } // 64 hexadecimal digits

var _ Op[Done] = KeyRemove{}

// Name returns "key remove".
func (KeyRemove) Name() string { return "key remove" }

// Validate refuses anything but a full id.
func (k KeyRemove) Validate() error { return idErrors("key_id", []string{k.ID}).orNil() }

func (k KeyRemove) plan(Version) plan {
	return plan{verb: []string{"key", "remove"}, operands: []string{k.ID}, deadline: repairDeadline, absent: CodeKeyNotFound}
}

func (KeyRemove) decode(*output) (Done, error) { return Done{}, nil }
