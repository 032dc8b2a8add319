package api

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"

	"restic-manager/server/auth"
)

// operation is one operation of the contract as the router needs it.
type operation struct {
	id         string
	rule       auth.Rule
	route      routers.Route
	parameters map[string]bool // names of those in the query
	repeatable bool            // takes an Idempotency-Key
	fields     bool            // declares 422: a field with an impossible value has its own status
	json       bool            // its body, if it takes one, is JSON
	form       *form           // of its body; nil: it has none, or is not asked for so often
}

// handChecked tells the operation whose body is too large for a general validator:
// its handler checks it record by record.
func (op *operation) handChecked() bool { return op.id == "report" }

// contract is the embedded openapi.yaml by method and path. chi and OpenAPI write
// paths alike, so a route's pattern finds its operation.
type contract map[string]*operation

// embedded parses the embedded contract, which never changes, once a process: it takes
// tens of milliseconds.
var embedded = sync.OnceValues(GetSpec)

// readContract reads the embedded contract and gives each operation its rule. One
// without a rule, or a rule without an operation, is an error: a server must not
// start with it.
func readContract(rules map[string]auth.Rule) (contract, error) {
	spec, err := embedded()
	if err != nil {
		return nil, fmt.Errorf("read the embedded contract: %w", err)
	}
	c := contract{}
	seen := map[string]bool{}
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			rule, ok := rules[op.OperationID]
			if !ok { //guard:operation-rule
				return nil, fmt.Errorf("route_without_policy: %s %s (%s)", method, path, op.OperationID)
			}
			seen[op.OperationID] = true
			c[method+" "+path] = newOperation(spec, path, item, method, op, rule)
		}
	}
	for id := range rules {
		if !seen[id] {
			return nil, fmt.Errorf("the rule of %s has no operation in the contract", id)
		}
	}
	return c, nil
}

func newOperation(spec *openapi3.T, path string, item *openapi3.PathItem, method string, op *openapi3.Operation, rule auth.Rule) *operation {
	o := &operation{
		id: op.OperationID, rule: rule,
		route:      routers.Route{Spec: spec, Path: path, PathItem: item, Method: method, Operation: op},
		parameters: map[string]bool{},
		fields:     op.Responses.Status(http.StatusUnprocessableEntity) != nil,
		json:       true,
	}
	for _, p := range slices.Concat(item.Parameters, op.Parameters) {
		switch p.Value.In {
		case openapi3.ParameterInQuery:
			o.parameters[p.Value.Name] = true
		case openapi3.ParameterInHeader:
			o.repeatable = o.repeatable || p.Value.Name == "Idempotency-Key"
		}
	}
	if op.RequestBody != nil {
		content := op.RequestBody.Value.Content["application/json"]
		o.json = content != nil
		if o.id == "sync" {
			o.form = newForm(content.Schema)
		}
	}
	return o
}

// policy is the contract's rules by route.
func (c contract) policy() auth.Policy {
	p := auth.Policy{}
	for route, op := range c {
		p[route] = op.rule
	}
	return p
}
