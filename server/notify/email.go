package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"restic-manager/server/fleet"
)

// email sends through an SMTP server.
var email = Kind{
	Name: "email", Title: "E-mail",
	Description: "Sends mail through your SMTP server.",
	Fields: []Field{
		{Name: "server", Label: "SMTP server", Type: Text, Required: true, Where: true, Help: "Its name or address."},
		{Name: "port", Label: "Port", Type: Number, Where: true, Default: "587", Min: 1, Max: 65535},
		{Name: "security", Label: "Encryption", Type: Choice, Default: "starttls", Options: []string{"starttls", "tls", "none"},
			Help: "starttls is usual for port 587, tls for 465. With none, no password is sent."},
		{Name: "username", Label: "User", Type: Text},
		{Name: "password", Label: "Password", Type: Password, Secret: true},
		{Name: "auth", Label: "Sign in by", Type: Choice, Default: "auto", Options: []string{"auto", "plain", "login", "cram-md5"}},
		{Name: "from", Label: "From", Type: Text, Required: true, Help: "An address, such as Backups <backups@example.org>."},
		{Name: "to", Label: "To", Type: List, Required: true, Help: "Addresses, separated by commas or lines."},
	},
	Check: func(c Config, out *Egress) fleet.Fields {
		var found fleet.Fields
		add := func(field, text string) {
			found = append(found, fleet.Errorf(fleet.InvalidField, "%s", text).At("/settings/"+field))
		}
		if strings.ContainsAny(c.Get("server"), "/:@ ") && !isIPv6(c.Get("server")) {
			add("server", "Give the server's name or address alone; the port has a field of its own.")
		} else if e := checkDestination(c.Get("server"), out); e != nil {
			found = append(found, e.At("/settings/server"))
		}
		if _, err := mail.ParseAddress(c.Get("from")); err != nil {
			add("from", "This is no mail address.")
		}
		to := c.List("to")
		if len(to) == 0 || len(to) > 50 {
			add("to", "Give one to 50 addresses.")
		}
		for _, address := range to {
			if _, err := mail.ParseAddress(address); err != nil {
				add("to", "One of these is no mail address.")
				break
			}
		}
		if c.Get("security") == "none" && c.Get("username") != "" { //guard:notify-mail-password
			add("security", "The password would travel openly: choose starttls or tls, or leave the user out.")
		}
		return found
	},
	New: func(c Config, out *Egress) Sender { return &mailSender{c, out} },
}

func isIPv6(text string) bool {
	ip := net.ParseIP(text)
	return ip != nil && ip.To4() == nil
}

type mailSender struct {
	config Config
	out    *Egress
}

// Send hands the mail to the SMTP server, over a connection of its own.
func (s *mailSender) Send(ctx context.Context, m *Message) error {
	msg, err := s.message(m)
	if err != nil {
		return err
	}
	client, err := gomail.NewClient(s.config.Get("server"), s.options()...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, msg)
}

func (s *mailSender) options() []gomail.Option {
	host := s.config.Get("server")
	config := s.out.tls.Clone()
	config.ServerName = host
	options := []gomail.Option{
		gomail.WithPort(s.config.Int("port")), gomail.WithTimeout(dialTimeout), gomail.WithTLSConfig(config),
		gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithDialContextFunc(s.out.dialTalk),
	}
	switch s.config.Get("security") {
	case "none":
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	case "tls":
		// The connection is encrypted before the first word; the policy of the library
		// is then only about more encryption inside of it.
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic),
			gomail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
				return s.dialTLS(ctx, network, address, config)
			}))
	}
	if s.config.Get("username") == "" {
		return options
	}
	kind := map[string]gomail.SMTPAuthType{
		"auto": gomail.SMTPAuthAutoDiscover, "plain": gomail.SMTPAuthPlain, "login": gomail.SMTPAuthLogin, "cram-md5": gomail.SMTPAuthCramMD5,
	}[s.config.Get("auth")]
	return append(options, gomail.WithSMTPAuth(kind), gomail.WithUsername(s.config.Get("username")), gomail.WithPassword(s.config.Get("password")))
}

func (s *mailSender) dialTLS(ctx context.Context, network, address string, config *tls.Config) (net.Conn, error) {
	plain, err := s.out.dialTalk(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("encrypt: %w", err), plain.Close())
	}
	return conn, nil
}

// message makes the mail. Its id is the delivery's, so that one that is sent again is
// known.
func (s *mailSender) message(m *Message) (*gomail.Msg, error) {
	msg := gomail.NewMsg()
	if err := msg.From(s.config.Get("from")); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if err := msg.To(s.config.List("to")...); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	from, err := mail.ParseAddress(s.config.Get("from"))
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	msg.SetMessageIDWithValue(m.ID + "@" + domain)
	msg.SetDateWithValue(m.At)
	msg.Subject(oneLine("[restic-manager] " + m.Subject))
	msg.SetGenHeader(gomail.Header("Auto-Submitted"), "auto-generated")
	text := m.Text
	if m.Link != "" {
		text += "\n" + m.Link + "\n"
	}
	msg.SetBodyString(gomail.TypeTextPlain, text)
	if m.HTML != "" {
		msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	}
	return msg, nil
}

// oneLine makes a text fit for a header.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) { //guard:notify-header
			return ' '
		}
		return r
	}, text)
	if len(text) > 250 {
		text = strings.ToValidUTF8(text[:250], "") + "…"
	}
	return text
}
