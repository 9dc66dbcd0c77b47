{{/* Names and labels. */}}

{{- define "postern.name" -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* The labels by which pods of one component are found: (dict "root" $ "component" "gateway"). They never change. */}}
{{- define "postern.selector" -}}
app.kubernetes.io/name: tmtp
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "postern.labels" -}}
{{ include "postern.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: postern
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "postern.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Secrets that exist, or that the chart makes. */}}
{{- define "postern.secret.postgres" -}}
{{ .Values.postgres.existingSecret | default (printf "%s-trial-postgres" (include "postern.name" .)) }}
{{- end }}

{{- define "postern.secret.redis" -}}
{{ .Values.redis.existingSecret | default (printf "%s-trial-redis" (include "postern.name" .)) }}
{{- end }}

{{- define "postern.secret.sealing" -}}
{{ .Values.sealingKey.existingSecret | default (printf "%s-sealing-key" (include "postern.name" .)) }}
{{- end }}

{{- define "postern.secret.operator" -}}
{{ .Values.bootstrap.operatorKey.existingSecret | default (printf "%s-operator-key" (include "postern.name" .)) }}
{{- end }}

{{- define "postern.secret.tls" -}}
{{ .Values.certificate.existingSecret | default (printf "%s-tls" (include "postern.name" .)) }}
{{- end }}

{{/* The keys in them; those that the chart makes have fixed keys. */}}
{{- define "postern.key.postgres" -}}
{{ ternary .Values.postgres.key "url" (ne .Values.postgres.existingSecret "") }}
{{- end }}

{{- define "postern.key.redis" -}}
{{ ternary .Values.redis.key "url" (ne .Values.redis.existingSecret "") }}
{{- end }}

{{- define "postern.key.sealing" -}}
{{ ternary .Values.sealingKey.key "key" (ne .Values.sealingKey.existingSecret "") }}
{{- end }}

{{- define "postern.key.operator" -}}
{{ ternary .Values.bootstrap.operatorKey.key "token" (ne .Values.bootstrap.operatorKey.existingSecret "") }}
{{- end }}

{{/* Whether there is an operator key: "yes" or nothing. */}}
{{- define "postern.hasOperatorKey" -}}
{{- if or .Values.bootstrap.enabled .Values.bootstrap.operatorKey.existingSecret }}yes{{ end }}
{{- end }}

{{/* A site of its own for `helm test`, which no client can find by accident. */}}
{{- define "postern.testDomain" -}}
delivery-test.{{ include "postern.name" . }}.invalid
{{- end }}

{{/* The host of the pages for invited people; nothing without them. */}}
{{- define "postern.publicHost" -}}
{{- with .Values.admin.public.url }}{{ (urlParse .).hostname }}{{ end }}
{{- end }}

{{/* The port of a URL: what it says, or that of its scheme. */}}
{{- define "postern.urlPort" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "80" "443" (eq $url.scheme "http")) -}}
{{- end }}
