package api

import (
	"bytes"
	"context"
	"errors"
	"io/fs"

	"restic-manager/server/fleet"
	"restic-manager/server/program"
)

// ListPrograms lists what this server hands to machines, and what it would, were the
// file as it was added.
func (h *Handlers) ListPrograms(context.Context, ListProgramsRequestObject) (ListProgramsResponseObject, error) {
	programs, err := h.programs.List()
	if err != nil {
		return nil, err
	}
	list := ProgramList{Programs: make([]Program, len(programs))}
	for i, p := range programs {
		list.Programs[i] = Program{
			File: p.File, Name: ProgramName(p.Name), Version: p.Version, Os: p.OS, Arch: p.Arch,
			Sha256: p.SHA256, Bytes: p.Bytes, Problem: p.Problem,
		}
	}
	return ListPrograms200JSONResponse(list), nil
}

// DownloadProgram gives an installer or a program to anybody: nothing in them is
// secret, and who fetches one knows its digest.
func (h *Handlers) DownloadProgram(ctx context.Context, r DownloadProgramRequestObject) (DownloadProgramResponseObject, error) {
	if r.File == program.LinuxInstaller || r.File == program.WindowsInstaller {
		text, err := h.programs.Installer(r.File, h.pin)
		if err != nil {
			return nil, err
		}
		return DownloadProgram200ApplicationoctetStreamResponse{Body: bytes.NewReader(text), ContentLength: int64(len(text))}, nil
	}
	body, size, err := h.programs.Open(r.File)
	var damaged *program.Damaged
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fleet.Errorf(fleet.NotFound, "This server has no such program; if a line asked for it, make a new one under Add host.")
	case errors.As(err, &damaged):
		h.log.ErrorContext(ctx, "program not handed out", "file", damaged.File, "err", damaged.Problem)
		return nil, fleet.Errorf(fleet.NotFound, "%s is not handed out: %s. That is for the server's admin to do.", damaged.File, damaged.Problem)
	case err != nil:
		return nil, err
	}
	return DownloadProgram200ApplicationoctetStreamResponse{Body: body, ContentLength: size}, nil
}
