package dispatch

import (
	"encoding/json"
	"testing"
)

func TestInputSchemaPublishesWhatDecodeEnforces(t *testing.T) {
	t.Parallel()
	raw, err := inputSchema[sampleArgs]()
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Type                 string
		AdditionalProperties *bool
		Required             []string
		Properties           map[string]struct {
			Type             any
			Enum             []string
			Minimum, Maximum *float64
			Items            *struct{ Type string }
		}
	}
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	if schema.Type != "object" || schema.AdditionalProperties == nil || *schema.AdditionalProperties {
		t.Errorf("not a closed object: %s", raw)
	}
	if len(schema.Required) != 0 {
		t.Errorf("required = %v; which target arguments go together is not for the schema to say", schema.Required)
	}
	for name, want := range map[string]string{"pid": "integer", "names": "array", "header": "object", "deep": "boolean", "ratio": "number"} {
		if got := schema.Properties[name].Type; got != want {
			t.Errorf("%s has type %v, want %s alone", name, got, want)
		}
	}
	port := schema.Properties["port"]
	if port.Minimum == nil || *port.Minimum != 1 || port.Maximum == nil || *port.Maximum != 65535 {
		t.Errorf("port lacks its bounds: %+v", port)
	}
	if got := schema.Properties["family"].Enum; len(got) != 2 {
		t.Errorf("family has enum %v", got)
	}
	if items := schema.Properties["names"].Items; items == nil || items.Type != "string" {
		t.Errorf("names lacks items of type string")
	}
}

func TestSchemaThatCannotBeGeneratedIsAnError(t *testing.T) {
	t.Parallel()
	type badTag struct {
		Host string `json:"host" jsonschema:"host=name form"`
	}
	type anything struct {
		Value any `json:"value"`
	}
	type enumOnNumber struct {
		Size int `json:"size" enum:"1,2"`
	}
	if raw, err := inputSchema[badTag](); err == nil {
		t.Errorf("a tag that the generator misreads gave %s", raw)
	}
	if raw, err := inputSchema[anything](); err == nil {
		t.Errorf("a field of any type gave %s", raw)
	}
	if raw, err := inputSchema[enumOnNumber](); err == nil {
		t.Errorf("an enum that rejects every value gave %s", raw)
	}
}

func TestOutputSchemaStaysOpen(t *testing.T) {
	t.Parallel()
	type out struct {
		Rows []struct {
			Name string `json:"name"`
		} `json:"rows"`
	}
	raw, err := outputSchema[out]()
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	var walk func(path string, node any)
	walk = func(path string, node any) {
		switch v := node.(type) {
		case map[string]any:
			if closed, ok := v["additionalProperties"]; ok && closed == false {
				t.Errorf("%s is closed", path)
			}
			for name, child := range v {
				walk(path+"/"+name, child)
			}
		case []any:
			for _, child := range v {
				walk(path, child)
			}
		}
	}
	walk("", tree)
	required := tree.(map[string]any)["required"].([]any)
	for _, name := range required {
		if name == "data" || name == "target" || name == "error" {
			t.Errorf("%s is required, but not every answer has it", name)
		}
	}
}
