{{/*
TOML of a table. Helm's own `toToml` writes whole numbers of values as floats, which the programs refuse.
(dict "table" $table "path" "")
*/}}
{{- define "postern.toml" -}}
{{- $tables := dict -}}
{{- range $key, $value := .table -}}
{{- if kindIs "map" $value -}}
{{- $_ := set $tables $key $value -}}
{{- else if not (kindIs "invalid" $value) -}}
{{ printf "%s = %s\n" $key (include "postern.tomlValue" $value) }}
{{- end -}}
{{- end -}}
{{- $above := .path -}}
{{- range $key, $table := $tables -}}
{{- if $table -}}
{{- $path := printf "%s%s" $above $key -}}
{{ printf "\n[%s]\n" $path }}{{ include "postern.toml" (dict "table" $table "path" (printf "%s." $path)) }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "postern.tomlValue" -}}
{{- if kindIs "string" . -}}
{{ toJson . }}
{{- else if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ printf "%d" (int64 .) }}{{ else }}{{ printf "%v" . }}{{ end -}}
{{- else if kindIs "slice" . -}}
{{- $items := list -}}
{{- range . }}{{ $items = append $items (include "postern.tomlValue" .) }}{{ end -}}
[{{ join ", " $items }}]
{{- else -}}
{{ printf "%v" . }}
{{- end -}}
{{- end }}
