{{/* Rules of network policies. */}}

{{- define "postern.pods" -}}
podSelector:
  matchLabels:
    {{- include "postern.selector" . | nindent 4 }}
{{- end }}

{{/* Name servers may be anywhere, on nodes too. */}}
{{- define "postern.egress.dns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{/* A database: (dict "root" $ "name" "postgres"). */}}
{{- define "postern.egress.database" -}}
{{- $values := get .root.Values .name -}}
{{- $peers := get .root.Values.networkPolicy (printf "%sTo" .name) -}}
- ports:
    - {port: {{ ternary (ternary 5432 6379 (eq .name "postgres")) $values.port .root.Values.trial.enabled }}, protocol: TCP}
  {{- if .root.Values.trial.enabled }}
  to:
    - {{- include "postern.pods" (dict "root" .root "component" (printf "trial-%s" .name)) | nindent 6 }}
  {{- else if $peers }}
  to:
    {{- toYaml $peers | nindent 4 }}
  {{- end }}
{{- end }}

{{/* What is outside: (dict "root" $ "ports" (list 443)). */}}
{{- define "postern.egress.outside" -}}
{{- if .ports -}}
- ports:
    {{- range .ports | uniq }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
  {{- with .root.Values.networkPolicy.httpsTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end }}

{{/* Ports of the object store and of the collector of traces: (dict "root" $ "component" "gateway" "bodies" true). */}}
{{- define "postern.outsidePorts" -}}
{{- if and .bodies (eq .root.Values.bodies.kind "s3") }}
- {{ include "postern.urlPort" (.root.Values.bodies.s3.endpoint | default "https://aws") }}
{{- end }}
{{- with dig "tracing" "otlp_endpoint" "" (get .root.Values .component).config }}
- {{ include "postern.urlPort" . }}
{{- end }}
{{- end }}

{{- define "postern.ingress.monitor" -}}
{{- with .Values.networkPolicy.monitoringFrom -}}
- ports:
    - {port: 9464, protocol: TCP}
  from:
    {{- toYaml . | nindent 4 }}
{{- end -}}
{{- end }}
