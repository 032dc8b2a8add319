package main

import (
	"fmt"
	"time"

	"restic-manager/agent"
)

type storageCommand struct {
	Setup      storageSetup      `cmd:"" help:"Make a folder and users for rest-server, and say how to start it."`
	AddUser    storageAdd        `cmd:"" help:"Make a user, and print its password once."`
	RemoveUser storageRemove     `cmd:"" help:"Take a user out; rest-server refuses it within half a minute."`
	Undo       storageUndo       `cmd:"" help:"Bring back what was removed from a repository; without --copy, say what can be."`
	Quarantine storageQuarantine `cmd:"" help:"Put files aside that are not restic's, or that keep it from working."`
	AcceptKey  storageAcceptKey  `cmd:"" help:"Take a key that was added to a repository for one that is meant to be there."`
}

// storagePlace is where rest-server's data and users are.
type storagePlace struct {
	Path     string `required:"" placeholder:"FOLDER" help:"The folder that rest-server serves, such as /srv/restic."`
	Htpasswd string `placeholder:"FILE" help:"The file of its users; FOLDER.htpasswd when left out."`
}

func (s storagePlace) storage() agent.Storage { return agent.Storage{Path: s.Path, Users: s.Htpasswd} }

type storageSetup struct {
	storagePlace
	User        []string `sep:"none" placeholder:"NAME" help:"A user, best one for each host; may be repeated."`
	Owner       string   `placeholder:"NAME" help:"The system's user as whom rest-server runs; the folder's owner when left out."`
	Listen      string   `default:":8000" help:"Where rest-server listens."`
	TLSCert     string   `name:"tls-cert" placeholder:"FILE" help:"Its certificate."`
	TLSKey      string   `name:"tls-key" placeholder:"FILE" help:"The key of that."`
	WritePolicy bool     `help:"Let this host maintain the repositories there: write it into the policy file."`
}

func (s *storageSetup) Run(w world, c *commands) error {
	storage := s.storage()
	storage.Owner = s.Owner
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return usageError{fmt.Errorf("--tls-cert and --tls-key belong together")}
	}
	made, err := storage.SetUp(s.User)
	if err != nil {
		return err
	}
	printUsers(w, made, s.User)
	fmt.Fprintf(w.stdout, "start rest-server as the owner of %s:\n  %s\n", s.Path, storage.ServerLine(s.Listen, s.TLSCert, s.TLSKey))
	if s.TLSCert == "" {
		fmt.Fprintln(w.stdout, "without --tls-cert and --tls-key whoever listens on the way learns the passwords: use it behind a proxy, or on this machine alone")
	}
	if !s.WritePolicy {
		fmt.Fprintf(w.stdout, "to let this host maintain the repositories there, add to its policy file (or run this again with --write-policy):\n%s", storage.PolicyEntry())
		return nil
	}
	config, err := agent.ReadConfig(c.Config, w.getenv)
	if err != nil {
		return err
	}
	if _, err := agent.AllowPolicy(config, "maintenance", s.Path, 0); err != nil {
		return err
	}
	fmt.Fprintf(w.stdout, "this host maintains the repositories below %s: see %s\n", s.Path, config.Policy)
	return nil
}

// printUsers says the new passwords, which are kept nowhere else.
func printUsers(w world, made []agent.NewUser, asked []string) {
	fresh := map[string]bool{}
	for _, u := range made {
		fresh[u.Name] = true
		fmt.Fprintf(w.stdout, "user: %s\npassword: %s\n", u.Name, u.Password.Reveal())
	}
	for _, name := range asked {
		if !fresh[name] {
			fmt.Fprintf(w.stdout, "user %s is there already, with the password that it has; for a new one: storage remove-user, then storage add-user\n", name)
		}
	}
	if len(made) > 0 {
		fmt.Fprintln(w.stdout, "a password is shown once: set it as the repository's credential at the server")
	}
}

type storageAdd struct {
	storagePlace
	User []string `required:"" sep:"none" placeholder:"NAME" help:"The user; may be repeated."`
}

func (s *storageAdd) Run(w world) error {
	made, err := s.storage().SetUp(s.User)
	if err != nil {
		return err
	}
	printUsers(w, made, s.User)
	return nil
}

type storageRemove struct {
	storagePlace
	User string `required:"" placeholder:"NAME" help:"The user."`
}

func (s *storageRemove) Run(w world) error {
	if err := s.storage().RemoveUser(s.User); err != nil {
		return err
	}
	fmt.Fprintf(w.stdout, "removed user %s; its data is left where it is\n", s.User)
	return nil
}

type storageUndo struct {
	Path string `required:"" placeholder:"FOLDER" help:"The repository's own folder."`
	Copy string `placeholder:"NAME" help:"Which copy to bring back."`
}

func (s *storageUndo) Run(w world) error {
	if s.Copy != "" {
		return s.bringBack(w)
	}
	copies, err := agent.UndoCopies(s.Path)
	if err != nil {
		return err
	}
	if len(copies) == 0 {
		fmt.Fprintf(w.stdout, "nothing of %s is kept aside\n", s.Path)
	}
	for _, k := range copies {
		fmt.Fprintf(w.stdout, "%s  before %s at %s, %d files\n", k.Name, k.Before, k.At.Local().Format(time.DateTime), k.Files)
		if k.Whole {
			fmt.Fprintf(w.stdout, "  a repository of its own: %s\n", k.Path)
		}
		fmt.Fprintf(w.stdout, "  bring back: restic-manager-agent storage undo --path %s --copy %s\n", s.Path, k.Name)
	}
	return nil
}

func (s *storageUndo) bringBack(w world) error {
	back, err := agent.BringBack(s.Path, s.Copy)
	if err != nil {
		return err
	}
	fmt.Fprintf(w.stdout, "brought back %d files; now check the repository, reading all data\n", back.Files)
	for _, key := range back.Keys {
		fmt.Fprintf(w.stdout, "left out %s: it was taken out of the repository since, and opens it for whoever knows its password; to have it again, copy that file from the undo copy\n", key)
	}
	if len(back.Differ) == 0 {
		return nil
	}
	for _, file := range back.Differ {
		fmt.Fprintf(w.stderr, "differs: %s\n", file)
	}
	return fmt.Errorf("%d files are there with another size than in the copy, and were left as they are: one of the two is damaged; to have the copy's, move those files out of %s and run this again",
		len(back.Differ), s.Path)
}

type storageQuarantine struct {
	Path string   `required:"" placeholder:"FOLDER" help:"The repository's own folder."`
	File []string `arg:"" help:"Files, by their paths in the repository, as inspect names them: keys/…, index/…"`
}

func (s *storageQuarantine) Run(w world) error {
	to, err := agent.Quarantine(s.Path, s.File)
	if err != nil {
		return err
	}
	fmt.Fprintf(w.stdout, "moved %d files to %s\n", len(s.File), to)
	return nil
}
