{{/*
The configuration file of each program: what the chart suggests, then what `config` says, then what only the chart can
know. `postern.problems` refuses values that try to set the last.
*/}}

{{/* What gateways and workers are told about large bodies. */}}
{{- define "postern.config.bodies" -}}
kind: {{ .Values.bodies.kind }}
{{- if eq .Values.bodies.kind "s3" }}
s3:
  endpoint: {{ .Values.bodies.s3.endpoint | quote }}
  region: {{ .Values.bodies.s3.region | quote }}
  bucket: {{ .Values.bodies.s3.bucket | quote }}
  prefix: {{ .Values.bodies.s3.prefix | quote }}
  access_key: {{ .Values.bodies.s3.accessKey | quote }}
{{- end }}
{{- end }}

{{- define "postern.config.gateway" -}}
{{- $suggested := dict "log" (dict "format" "json") -}}
{{- with .Values.bootstrap.site.domains -}}
{{- $_ := set $suggested "sites" (dict "default" (first .)) -}}
{{- end -}}
{{- $own := dict
  "listen" (dict "address" "0.0.0.0:8443" "drain_over" (printf "%ds" (int .Values.gateway.drainSeconds)))
  "monitor" (dict "address" "0.0.0.0:9464")
  "runtime" (dict "shutdown_grace" (printf "%ss" (include "postern.gatewayGrace" .Values.gateway.drainSeconds)))
  "tls" (dict "certificates" "/etc/postern/tls")
  "bodies" (include "postern.config.bodies" . | fromYaml)
-}}
{{- if .Values.gateway.proxyProtocol.enabled -}}
{{- $_ := set $own "proxy_protocol" (dict "trusted" .Values.gateway.proxyProtocol.trusted) -}}
{{- end -}}
{{- with .Values.admin.public.url -}}
{{- $keys := printf "http://%s-admin:8081/jwks" (include "postern.name" $) -}}
{{- $_ := set $own "sign_in" (dict "public_url" . "keys_url" $keys) -}}
{{- end -}}
{{- include "postern.toml" (dict "path" "" "table" (mergeOverwrite $suggested (deepCopy .Values.gateway.config) $own)) | trim -}}
{{- end }}

{{- define "postern.config.worker" -}}
{{- $suggested := dict "log" (dict "format" "json") -}}
{{- $own := dict
  "monitor" (dict "address" "0.0.0.0:9464")
  "runtime" (dict "shutdown_grace" (printf "%ds" (int .Values.worker.drainSeconds)))
  "bodies" (include "postern.config.bodies" . | fromYaml)
-}}
{{- include "postern.toml" (dict "path" "" "table" (mergeOverwrite $suggested (deepCopy .Values.worker.config) $own)) | trim -}}
{{- end }}

{{- define "postern.config.admin" -}}
{{- $suggested := dict "log" (dict "format" "json") -}}
{{- $own := dict
  "listen" (dict "address" "0.0.0.0:8080")
  "monitor" (dict "address" "0.0.0.0:9464")
  "runtime" (dict "shutdown_grace" (printf "%ds" (int .Values.admin.drainSeconds)))
-}}
{{- $web := or .Values.admin.ingress.enabled .Values.admin.route.enabled -}}
{{- if and $web .Values.admin.api.host -}}
{{- $_ := set $own.listen "proxies" .Values.admin.proxies -}}
{{- end -}}
{{- with .Values.admin.public.url -}}
{{- $public := dict "address" "0.0.0.0:8081" "url" . "tmtp_port" $.Values.gateway.service.port -}}
{{- if $web -}}
{{- $_ := set $public "proxies" $.Values.admin.proxies -}}
{{- end -}}
{{- $_ := set $own "public" $public -}}
{{- end -}}
{{- include "postern.toml" (dict "path" "" "table" (mergeOverwrite $suggested (deepCopy .Values.admin.config) $own)) | trim -}}
{{- end }}
