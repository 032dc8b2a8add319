package restic

func unlockOperation() Operation {
	return Operation{
		Name: "unlock", Group: GroupMaintain,
		Title: "Remove locks",
		Description: "Removes locks whose process is proven dead by the agent of the machine that it ran on. With force, at the maintenance host, also removes the locks " +
			"that are named and were not refreshed for half an hour, whoever has them; never one whose process lives there.",
		Fields: []Field{
			repositoryField(),
			{
				Name: "lock_ids", Type: FieldStringList, Pattern: "[0-9a-f]{64}", MaxItems: 200,
				Label: "Locks", Help: "full ids of locks, as List locks shows them", Default: "every lock of a dead process",
			},
			{
				Name: "force", Type: FieldBool,
				Label: "Also where the owner may live", Help: "remove the locks that are named, whoever has them; at the maintenance host only", Rare: true,
			},
		},
		Lock:   LockNone,
		Slot:   SlotAppend,
		Places: []Place{PlaceHost, PlaceMaintenanceHost},
		Facts: []Column{
			{"locks", "Locks found", ColumnInt},
			{"removed", "Removed", ColumnInt},
			{"kept", "Kept", ColumnInt},
		},
		Rows: []Column{
			{"id", "Lock", ColumnID},
			{"hostname", "Host", ColumnText},
			{"pid", "Process", ColumnInt},
			{"exclusive", "Exclusive", ColumnBool},
			{"created_at", "Made or refreshed", ColumnTime},
			{"alive", "Its process lives", ColumnText},
			{"removed", "Removed", ColumnBool},
			{"detail", "Why", ColumnText},
		},
		check: func(p Params) error {
			if p.Bool("force") && len(p.Strings("lock_ids")) == 0 { //guard:unlock-named
				return Errors{{Code: CodeFieldRequired, Field: "lock_ids", Message: "is required with force", Next: "name the locks to remove"}}
			}
			return nil
		},
	}
}
