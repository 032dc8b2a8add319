package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/go-chi/chi/v5"

	"restic-manager/server/auth"
	"restic-manager/server/fleet"
)

// validate checks a request against its operation: parameters, body, and that it
// has nothing which the contract does not know. Defaults of the contract are filled
// in. The validator's own texts quote values, so none of them is used.
func (op *operation) validate(r *http.Request) error {
	people := op.rule != auth.Agent && op.rule != auth.Token // what agents send stays open
	if err := op.checkQuery(r.URL.Query()); people && err != nil {
		return err
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: pathParams(r), Route: &op.route,
		Options: &openapi3filter.Options{
			MultiError:         true,
			ExcludeRequestBody: op.handChecked() || !op.json,
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, // done before the body was read
		},
	}
	if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
		return op.explain(err)
	}
	return nil
}

// checkQuery refuses parameters that the contract does not know: a filter with a
// typing mistake must not give everything.
func (op *operation) checkQuery(query url.Values) error {
	for name, values := range query {
		if !op.parameters[name] { //guard:unknown-parameter
			return fleet.Errorf(fleet.UnknownField, "This operation has no such parameter; it knows: %s.", op.parameterList()).At(pointerPart(name))
		}
		for _, v := range values {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return fleet.Errorf(fleet.Invalid, "The parameter is not a text in UTF-8.").At(name)
			}
		}
	}
	return nil
}

func (op *operation) parameterList() string {
	if len(op.parameters) == 0 {
		return "none"
	}
	var names []string
	for name := range op.parameters {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func pathParams(r *http.Request) map[string]string {
	params := map[string]string{}
	route := chi.RouteContext(r.Context())
	for i, key := range route.URLParams.Keys {
		params[key] = route.URLParams.Values[i]
	}
	return params
}

// explain turns what the validator found into our words, every mistake at once.
func (op *operation) explain(err error) error {
	var found fleet.Fields
	for _, e := range flatten(err) {
		found = append(found, op.explainOne(e)...)
	}
	if len(found) == 1 {
		return found[0]
	}
	return found.Err()
}

func flatten(err error) []error {
	many, ok := err.(openapi3.MultiError) // not what it wraps: that belongs to what wraps it
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range many {
		all = append(all, flatten(e)...)
	}
	return all
}

func (op *operation) explainOne(err error) fleet.Fields {
	var request *openapi3filter.RequestError
	switch {
	case !errors.As(err, &request):
		return fleet.Fields{fleet.Wrap(fleet.Invalid, err, "The request does not fit the contract.")}
	case request.Parameter != nil:
		return fleet.Fields{explainParameter(request)}
	case errors.Is(request.Err, openapi3filter.ErrInvalidRequired):
		return fleet.Fields{fleet.Errorf(fleet.Invalid, "This operation needs a JSON body.")}
	}
	var found fleet.Fields
	for _, e := range schemaErrors(request.Err) {
		found = append(found, op.explainField(e)...)
	}
	if len(found) == 0 {
		found = fleet.Fields{fleet.Wrap(fleet.Invalid, err, "The body is not the JSON that this operation takes.")}
	}
	return found
}

// explainParameter: what names an object in the path is not found when it cannot be
// a name; everything else is a malformed request.
func explainParameter(e *openapi3filter.RequestError) *fleet.Error {
	p := e.Parameter
	if p.In == openapi3.ParameterInPath {
		return fleet.Errorf(fleet.NotFound, "There is nothing with this id.").At(p.Name)
	}
	why := "is missing or has a wrong form"
	if found := schemaErrors(e.Err); len(found) > 0 {
		why = reason(found[0])
	}
	return fleet.Errorf(fleet.Invalid, "The parameter %s %s.", p.Name, why).At(p.Name)
}

func schemaErrors(err error) []*openapi3.SchemaError {
	var list []*openapi3.SchemaError
	for _, e := range flatten(err) {
		var s *openapi3.SchemaError
		if errors.As(e, &s) {
			list = append(list, s)
		}
	}
	return list
}

func (op *operation) explainField(e *openapi3.SchemaError) fleet.Fields {
	var pointer strings.Builder
	path := e.JSONPointer()
	for _, part := range path {
		pointer.WriteString("/" + pointerPart(part))
	}
	if unknown := unknownMembers(e); len(unknown) > 0 {
		var found fleet.Fields
		for _, name := range unknown {
			found = append(found, fleet.Errorf(fleet.UnknownField, "There is no such field here; /api/openapi.json names those that there are.").At(pointer.String()+"/"+pointerPart(name)))
		}
		return found
	}
	code := fleet.InvalidField
	if !op.fields || len(path) == 0 {
		code = fleet.Invalid
	}
	return fleet.Fields{fleet.Errorf(code, "The field %s.", reason(e)).At(pointer.String())}
}

// unknownMembers finds the members of an object that its schema does not have, where
// that is the error.
func unknownMembers(e *openapi3.SchemaError) []string {
	object, ok := e.Value.(map[string]any)
	if !ok || e.SchemaField != "properties" {
		return nil
	}
	var names []string
	for name := range object {
		if e.Schema.Properties[name] == nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// reason says in our words what a schema asks for, never what it was given.
func reason(e *openapi3.SchemaError) string {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return "is required"
	case "nullable":
		return "must not be null"
	case "type":
		return "must be of type " + strings.Join(s.Type.Slice(), " or ")
	case "enum":
		return "must be one of: " + strings.Trim(fmt.Sprint(s.Enum), "[]")
	case "minLength":
		if s.MinLength == 1 {
			return "must not be empty"
		}
		return fmt.Sprintf("must have at least %d characters", s.MinLength)
	case "maxLength":
		return fmt.Sprintf("must have at most %d characters", *s.MaxLength)
	case "minimum":
		return fmt.Sprintf("must be at least %v", *s.Min)
	case "maximum":
		return fmt.Sprintf("must be at most %v", *s.Max)
	case "minItems":
		return fmt.Sprintf("must have at least %d entries", s.MinItems)
	case "maxItems":
		return fmt.Sprintf("must have at most %d entries", *s.MaxItems)
	case "uniqueItems":
		return "must not have an entry twice"
	case "pattern":
		return "must match " + s.Pattern
	case "format":
		return "must be a " + s.Format
	}
	return "is not valid"
}
